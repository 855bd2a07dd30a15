"""Stand-ins for a GPU on a machine without one."""

import contextlib

import torch
from torch import nn


@contextlib.contextmanager
def cudnn_rule():
    """Make RNNs obey cuDNN's rule: no backward pass through one in evaluation mode."""

    def refuse(gradient):
        raise RuntimeError("cudnn RNN backward can only be called in training mode")

    def watch(module, inputs, output):
        if isinstance(module, nn.RNNBase) and not module.training:
            states = output[0]
            states = states if torch.is_tensor(states) else states.data  # packed
            if states.requires_grad:
                states.register_hook(refuse)

    hook = nn.modules.module.register_module_forward_hook(watch)
    try:
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def meta_device():
    """Let autocast take the device "meta".

    Its tensors have a shape and no values. So it stands for a device in two ways: an
    operation with a tensor of the CPU fails, and so does every look at a value, which
    on a real device is a wait.
    """
    autocast = torch.autocast
    torch.autocast = lambda *args, **kwargs: contextlib.nullcontext()
    try:
        yield torch.device("meta")
    finally:
        torch.autocast = autocast
