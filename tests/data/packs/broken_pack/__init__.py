import a_library_nobody_has_installed

NODE_CLASS_MAPPINGS = {"SampleBroken": a_library_nobody_has_installed.Node}
