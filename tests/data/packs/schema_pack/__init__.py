"""Nodes in the schema form."""

from comfy_api.latest import ComfyExtension, io, ui


class Mix(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SampleMix",
            display_name="Mix (sample)",
            category="samples",
            description="Mixes two pictures.",
            inputs=[
                io.Image.Input("first"),
                io.Image.Input("second", optional=True, tooltip="the other picture"),
                io.Float.Input("amount", default=0.5, min=0.0, max=1.0, step=0.01, display_mode=io.NumberDisplay.slider),
                io.Combo.Input("mode", options=["linear", "max"]),
                io.Boolean.Input("loud", default=False, label_on="yes", label_off="no"),
            ],
            outputs=[io.Image.Output(display_name="mixed"), io.String.Output("note")],
            hidden=[io.Hidden.unique_id],
            search_aliases=["blend pictures"],
        )

    @classmethod
    def validate_inputs(cls, mode, amount):
        return "max takes amount 1" if mode == "max" and amount != 1 else True

    @classmethod
    def fingerprint_inputs(cls, **kwargs):
        return 7

    @classmethod
    def execute(cls, first, amount, mode, loud, second=None):
        other = first if second is None else second
        mixed = first.maximum(other) if mode == "max" else first * (1 - amount) + other * amount
        return io.NodeOutput(mixed, f"node {cls.hidden.unique_id}")


class Note(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SampleNote",
            category="samples",
            inputs=[io.String.Input("text", multiline=True), io.AnyType.Input("source", optional=True, lazy=True)],
            outputs=[],
            is_output_node=True,
            not_idempotent=True,
        )

    @classmethod
    def check_lazy_status(cls, text, source=None):
        return ["source"] if text == "" and source is None else []

    @classmethod
    async def execute(cls, text, source=None):
        return io.NodeOutput(ui=ui.PreviewText(text or str(source)))


class Shown(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SampleShown",
            category="samples",
            inputs=[io.Image.Input("image"), io.MultiType.Input("any", types=[io.Image, io.Mask], optional=True)],
            outputs=[io.Custom("SAMPLE_KIND").Output()],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, image, any=None):
        if float(image.max()) == 0:
            return io.NodeOutput(block_execution="the picture is black")
        return io.NodeOutput("kind", ui=ui.PreviewImage(image, cls=cls))


class Samples(ComfyExtension):
    async def get_node_list(self):
        return [Mix, Note, Shown]


async def comfy_entrypoint():
    return Samples()
