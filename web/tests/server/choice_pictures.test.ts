import { describe, expect, it } from "vitest";
import { inputPictureAddress } from "../../src/server/input_pictures";
import { choicePictures } from "../../src/server/model_pictures";
import { FakeServer } from "../fake_server";

const files = (folder: string, media: string) => ({ folder, media, also: [] });

describe("the small pictures of a list", () => {
  it("are those of the files themselves in a list of pictures, where the name says they are some", async () => {
    const { client, asked } = new FakeServer();
    const pictures = await choicePictures(client, files("input", "image"));
    expect([pictures?.("sub/a b.png"), pictures?.("c.webp [output]"), pictures?.("song.wav")]).toEqual([
      "/api/v1/folders/input/sub%2Fa%20b.png/thumbnail?size=128", "/api/v1/folders/output/c.webp/thumbnail?size=128", null,
    ]);
    expect([await choicePictures(client, files("input", "audio")), asked.length]).toEqual([null, 0]);
  });

  it("are those that lie beside weight files, and there is none where no file has one", async () => {
    const { client } = new FakeServer()
      .on("GET /models/loras", () => [{ name: "a.safetensors", has_picture: true }, { name: "b.safetensors", has_picture: false }])
      .on("GET /models/vae", () => [{ name: "a.safetensors", has_picture: false }]);
    const pictures = await choicePictures(client, files("loras", ""));
    expect([pictures?.("a.safetensors"), pictures?.("b.safetensors")]).toEqual(["/api/v1/models/loras/a.safetensors/picture?size=128", null]);
    expect([await choicePictures(client, files("vae", "")), await choicePictures(client, files("unknown", ""))]).toEqual([null, null]);
  });

  it("are found where the widget says, with the folder it names", () => {
    expect(inputPictureAddress("sub/a b.png [temp]")).toBe("/view?filename=a+b.png&subfolder=sub&type=temp");
  });
});
