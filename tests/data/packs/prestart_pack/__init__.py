import os


class Prestarted:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "samples"

    def run(self):
        return (os.environ.get("SAMPLE_PRESTARTUP_RAN", "no"),)


NODE_CLASS_MAPPINGS = {"SamplePrestarted": Prestarted}
