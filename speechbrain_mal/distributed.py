"""What the processes of distributed training have to agree on."""

import torch
from speechbrain.utils.distributed import is_distributed_initialized
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@torch.no_grad()
def broadcast_buffers(module: nn.Module) -> None:
    """Give every process the first one's buffers, such as BatchNorm's statistics.

    Weights are alike everywhere, as all processes take the same steps. Statistics are
    each process's own between two forward passes of `DistributedDataParallel`.

    Arguments
    ---------
    module : nn.Module
        Of every process; buffers that its state dict leaves out stay as they are.
    """
    if not is_distributed_initialized():
        return
    saved = module.state_dict().keys()
    for name, buffer in module.named_buffers():
        if name in saved:
            torch.distributed.broadcast(buffer, src=0)


def wrap_on_cpu(modules: nn.ModuleDict, find_unused_parameters: bool) -> None:
    """Wrap the modules that train for DDP on CPUs, in place.

    SpeechBrain makes SyncBatchNorm of every BatchNorm, which GPUs alone can compute.
    Without it each process normalises by its own batch, and DDP gives all of them the
    first one's running statistics.
    """
    for name, module in modules.items():
        if any(weight.requires_grad for weight in module.parameters()):
            modules[name] = DistributedDataParallel(
                module, find_unused_parameters=find_unused_parameters
            )
