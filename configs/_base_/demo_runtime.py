"""The default runtime with more lines in the log, for short trainings."""

_base_ = './default_runtime.py'

default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
