"""A saver derived from the built-in one that looks at its own files, and may take its process with it."""

import os

import folder_paths
from nodes import SaveImage


class SaveAndLook(SaveImage):
    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"images": ("IMAGE",), "filename_prefix": ("STRING",), "crash_once": ("STRING", {"default": ""})},
            "optional": {"fail": ("BOOLEAN", {"default": False})},
        }

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "samples"

    def run(self, images, filename_prefix, crash_once, fail=False):
        first = self.save_images(images, filename_prefix)["ui"]["images"]
        second = self.save_images(images, "sub/" + filename_prefix)["ui"]["images"]
        paths = [os.path.join(self.output_dir, item["subfolder"], item["filename"]) for item in first + second]
        sizes = [os.path.getsize(path) for path in paths]
        if crash_once and not os.path.exists(crash_once):
            open(crash_once, "w").close()
            os._exit(9)
        if fail:
            raise RuntimeError("after saving")
        return {"ui": {"pictures": first + second, "sizes": sizes}, "result": (paths[0],)}


class SaveElsewhere(SaveImage):
    """Its files lie in the input folder, which the engine does not write."""

    FUNCTION = "run"
    CATEGORY = "samples"

    def __init__(self):
        super().__init__()
        self.output_dir = folder_paths.get_input_directory()
        self.type = "input"

    def run(self, images, filename_prefix, prompt=None, extra_pnginfo=None):
        return self.save_images(images, filename_prefix)


class SaveLater(SaveImage):
    """A coroutine that saves."""

    FUNCTION = "run"
    CATEGORY = "samples"

    async def run(self, images, filename_prefix, prompt=None, extra_pnginfo=None):
        return self.save_images(images, filename_prefix)


NODE_CLASS_MAPPINGS = {
    "SampleSaveAndLook": SaveAndLook,
    "SampleSaveElsewhere": SaveElsewhere,
    "SampleSaveLater": SaveLater,
}
