import asyncio

import folder_paths
import torch
from comfy.utils import ProgressBar
from comfy_execution.graph import ExecutionBlocker
from comfy_execution.graph_utils import GraphBuilder
from nodes import MAX_RESOLUTION, SaveImage
from server import PromptServer


class AnyType(str):
    def __ne__(self, other):
        return False


ANY = AnyType("*")


class Gradient:
    """A picture that gets brighter to the right."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "width": ("INT", {"default": 16, "min": 1, "max": MAX_RESOLUTION}),
                "height": ("INT", {"default": 16, "min": 1, "max": MAX_RESOLUTION}),
                "direction": (["right", "left"],),
            },
            "optional": {"gain": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 2.0, "step": 0.1})},
        }

    RETURN_TYPES = ("IMAGE", "INT")
    RETURN_NAMES = ("picture", "columns")
    FUNCTION = "draw"
    CATEGORY = "samples"
    DESCRIPTION = "A horizontal gradient."
    OUTPUT_TOOLTIPS = ("the picture", "its width")

    def draw(self, width, height, direction, gain=1.0):
        ramp = torch.linspace(0, 1, width) * gain
        if direction == "left":
            ramp = ramp.flip(0)
        return (ramp.clamp(0, 1)[None, None, :, None].expand(1, height, width, 3).contiguous(), width)


class Shout:
    """Declares UI output and a value; files of a model folder; a string that forgot its comma."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"text": ("STRING", {"multiline": True, "default": "hi"})},
            "optional": {"lora": (folder_paths.get_filename_list("loras"),), "image": ("IMAGE")},
            "hidden": {"unique_id": "UNIQUE_ID", "prompt": "PROMPT", "extra": "EXTRA_PNGINFO"},
        }

    RETURN_TYPES = ("STRING",)
    FUNCTION = "shout"
    OUTPUT_NODE = True
    CATEGORY = "samples"

    def shout(self, text, unique_id=None, prompt=None, extra=None, **kwargs):
        loud = text.upper()
        return {"ui": {"text": [loud], "from": [str(unique_id)]}, "result": (loud,)}


class Choose:
    """Fetches only the branch it needs."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "first": (ANY, {"lazy": True}),
                "second": (ANY, {"lazy": True}),
                "use_first": ("BOOLEAN", {"default": True}),
            }
        }

    RETURN_TYPES = (ANY,)
    FUNCTION = "choose"
    CATEGORY = "samples"

    def check_lazy_status(self, use_first, first=None, second=None):
        if use_first and first is None:
            return ["first"]
        if not use_first and second is None:
            return ["second"]
        return []

    def choose(self, use_first, first=None, second=None):
        return (first if use_first else second,)


class CountUp:
    """Makes a list of numbers."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"count": ("INT", {"default": 3, "min": 0, "max": 100})}}

    RETURN_TYPES = ("INT",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "run"
    CATEGORY = "samples"

    def run(self, count):
        return (list(range(count)),)


class SumAll:
    """Takes a list as a whole."""

    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"values": ("INT", {"forceInput": True}), "offset": ("INT", {"default": 0})}}

    RETURN_TYPES = ("INT",)
    FUNCTION = "add"
    CATEGORY = "samples"

    def add(self, values, offset):
        return (sum(values) + offset[0],)


class Repeat:
    """Expands into a chain of upper-case nodes."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": "a"}), "times": ("INT", {"default": 2, "min": 1})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "expand"
    CATEGORY = "samples"

    def expand(self, text, times):
        graph = GraphBuilder()
        node = graph.node("SampleJoin", first=text, second="!")
        for _ in range(times - 1):
            node = graph.node("SampleJoin", first=node.out(0), second="!")
        return {"result": (node.out(0),), "expand": graph.finalize()}


class Join:
    """Joins two texts."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"first": ("STRING", {"default": ""}), "second": ("STRING", {"default": ""})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "join"
    CATEGORY = "samples"

    def join(self, first, second):
        return (first + second,)


class Gate:
    """Blocks silently or with a message."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "value": (ANY,),
                "is_open": ("BOOLEAN", {"default": True}),
                "message": ("STRING", {"default": ""}),
            }
        }

    RETURN_TYPES = (ANY,)
    FUNCTION = "pass_on"
    CATEGORY = "samples"

    def pass_on(self, value, is_open, message):
        return (value if is_open else ExecutionBlocker(message or None),)


class Clock:
    """Runs every time and counts how often this node of the graph ran."""

    def __init__(self):
        self.times = 0

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    @classmethod
    def IS_CHANGED(cls):
        return float("nan")

    RETURN_TYPES = ("INT",)
    FUNCTION = "tick"
    CATEGORY = "samples"
    OUTPUT_NODE = True

    def tick(self):
        self.times += 1
        return {"ui": {"times": [self.times]}, "result": (self.times,)}


class Even:
    """Refuses odd numbers before the job is queued."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"number": ("INT", {"default": 2, "max": 10})}}

    @classmethod
    def VALIDATE_INPUTS(cls, number):
        return True if number % 2 == 0 else "the number is odd"

    RETURN_TYPES = ("INT",)
    FUNCTION = "run"
    CATEGORY = "samples"

    def run(self, number):
        return (number,)


class Typed:
    """Checks link types itself."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("STRING", {"forceInput": True})}}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types):
        return True if input_types.get("value") in ("INT", "STRING", "*") else f"got {input_types.get('value')}"

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "samples"

    def run(self, value):
        return (str(value),)


class Wait:
    """Sleeps without blocking others."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seconds": ("FLOAT", {"default": 0.01, "min": 0.0, "max": 10.0}), "value": (ANY,)}}

    RETURN_TYPES = (ANY,)
    FUNCTION = "wait"
    CATEGORY = "samples"

    async def wait(self, seconds, value):
        await asyncio.sleep(seconds)
        return (value,)


class Steps:
    """Reports progress and sends an event of its own."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"count": ("INT", {"default": 3, "min": 1, "max": 1000})}, "hidden": {"id": "UNIQUE_ID"}}

    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True
    CATEGORY = "samples"

    def run(self, count, id):
        bar = ProgressBar(count)
        for _ in range(count):
            bar.update(1)
        PromptServer.instance.send_sync("samples.done", {"node": id, "count": count})
        return {"ui": {"count": [count]}}


class Fail:
    """Raises."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": "no"})}}

    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True
    CATEGORY = "samples"

    def run(self, text):
        raise ValueError(text)


class SaveBright(SaveImage):
    """A saver derived from the built-in one, with its own inputs and folder type."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"images": ("IMAGE",), "gain": ("FLOAT", {"default": 2.0})},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    CATEGORY = "samples"
    FUNCTION = "run"

    def __init__(self):
        super().__init__()
        self.output_dir = folder_paths.get_temp_directory()
        self.type = "temp"
        self.prefix_append = "_bright"

    def run(self, images, gain, prompt=None, extra_pnginfo=None):
        saved = self.save_images((images * gain).clamp(0, 1), "sample", prompt, extra_pnginfo)
        return {"ui": {"a_images": saved["ui"]["images"]}}


class Malformed:
    """Cannot be described."""

    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        raise RuntimeError("the inputs of this node cannot be listed")


class Once:
    """Old but kept."""

    NOT_IDEMPOTENT = True
    DEPRECATED = True
    EXPERIMENTAL = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "run"
    CATEGORY = "samples"

    def run(self):
        return (1.5,)


NODE_CLASS_MAPPINGS = {
    "SampleGradient": Gradient,
    "SampleShout": Shout,
    "SampleChoose": Choose,
    "SampleCountUp": CountUp,
    "SampleSumAll": SumAll,
    "SampleRepeat": Repeat,
    "SampleJoin": Join,
    "SampleGate": Gate,
    "SampleClock": Clock,
    "SampleEven": Even,
    "SampleTyped": Typed,
    "SampleWait": Wait,
    "SampleSteps": Steps,
    "SampleFail": Fail,
    "SampleSaveBright": SaveBright,
    "SampleMalformed": Malformed,
    "SampleOnce": Once,
}
NODE_DISPLAY_NAME_MAPPINGS = {"SampleGradient": "Gradient (sample)", "SampleShout": "Shout"}
