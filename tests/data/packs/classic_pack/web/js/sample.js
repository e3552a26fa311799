console.log("sample extension");
