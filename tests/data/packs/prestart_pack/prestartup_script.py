import os

os.environ["SAMPLE_PRESTARTUP_RAN"] = "yes"
