"""What the processes of distributed training have to agree on."""

import torch
from speechbrain.utils.distributed import is_distributed_initialized
from torch import nn


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
