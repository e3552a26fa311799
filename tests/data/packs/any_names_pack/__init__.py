"""Nodes that take inputs of every name, declared in the ways packs do it."""


class AnyType(str):
    def __ne__(self, other):
        return False


ANY = AnyType("*")


class EveryKey(dict):
    """Contains every key; what it does not hold is a wildcard."""

    def __contains__(self, key):
        return True

    def __getitem__(self, key):
        return dict.get(self, key, (ANY,))


class OnlySaysSo(dict):
    """Contains every key, and fails for those it does not hold."""

    def __contains__(self, key):
        return True


class NoDictionary:
    """Answers every key and lists none; walking through it would never end."""

    def __contains__(self, key):
        return True

    def __getitem__(self, key):
        return (ANY, {"lazy": True})


class Collect:
    """Shows the names and values it was called with."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"start": ("INT", {"default": 0})},
            "optional": EveryKey({"image": ("IMAGE",)}),
            "hidden": {"unique_id": "UNIQUE_ID"},
        }

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    OUTPUT_NODE = True
    CATEGORY = "samples"

    @classmethod
    def VALIDATE_INPUTS(cls, **kwargs):
        return "forbidden is not allowed" if "forbidden" in kwargs else True

    def run(self, start, unique_id=None, **kwargs):
        text = ", ".join(f"{name}={kwargs[name]}" for name in sorted(kwargs))
        return {"ui": {"text": [f"{start}: {text}"]}, "result": (text,)}


class CollectHidden(Collect):
    """The group that takes every name is that of the hidden inputs."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"start": ("INT",)}, "hidden": OnlySaysSo({"unique_id": "UNIQUE_ID"})}


class PickByNumber:
    """Fetches one of any number of inputs."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"number": ("INT", {"default": 1})}, "optional": NoDictionary()}

    RETURN_TYPES = (ANY,)
    FUNCTION = "run"
    CATEGORY = "samples"

    def check_lazy_status(self, number, **kwargs):
        return [f"input_{number}"]

    def run(self, number, **kwargs):
        return (kwargs[f"input_{number}"],)


NODE_CLASS_MAPPINGS = {
    "SampleCollect": Collect,
    "SampleCollectHidden": CollectHidden,
    "SamplePickByNumber": PickByNumber,
}
