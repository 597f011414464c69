"""All ranks of a node log into one run: `torchrun --nproc-per-node 4 train_with_torchrun.py`."""

import os
import time

import torch
import torch.distributed as dist

import expman


def join_run(experiment: str) -> expman.Experiment | expman.LoggingEngine:
    """LOCAL_RANK 0 of each node owns the node's run; the other ranks of the node log into it."""
    name = [time.strftime("%Y%m%d_%H%M%S")]
    dist.broadcast_object_list(name)  # rank 0's: all nodes have the same name
    node, is_owner = os.environ["GROUP_RANK"], os.environ["LOCAL_RANK"] == "0"
    run = expman.Experiment(experiment, name[0]) if is_owner else None
    known: list[tuple[str, str | None]] = [("", None)] * dist.get_world_size()
    dist.all_gather_object(known, (node, run.engine.address if run else None))
    address = next(address for where, address in known if address and where == node)
    return run or expman.attach(address)


dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
rank = dist.get_rank()
run = join_run("digits")
print(f"rank {rank} trains")  # all ranks' lines are in console.log, each with its rank

device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else "cpu"
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(8, 1).to(device))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(100):
    began = time.perf_counter()
    inputs = torch.randn(32, 8, device=device)
    loss = (model(inputs).squeeze(1) - inputs.sum(1)).pow(2).mean()
    own_s = time.perf_counter() - began  # without waiting for the others, as backward() does
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    run.log_vector({"train/loss": loss.item(), "own_s": own_s}, step)
    if rank == 0 and step % 50 == 49:
        run.log_vector({"val/loss": loss.item()}, step)  # a name of its own

dist.barrier()  # all have logged
run.close()  # an owner's ends the run, the others' their own part
dist.destroy_process_group()
