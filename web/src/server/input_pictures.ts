/** Pictures of the working folders, by what widgets say: `folder/name.png`, with ` [output]` where it is not the input folder. */

export function inputPictureAddress(value: string): string {
  const [, subfolder = "", name = ""] = /^(?:(.*)\/)?([^/]*?)(?: \[\w+\])?$/.exec(value) ?? [];
  return `/view?${new URLSearchParams({ filename: name, subfolder, type: / \[(\w+)\]$/.exec(value)?.[1] ?? "input" }).toString()}`;
}
