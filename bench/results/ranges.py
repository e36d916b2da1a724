"""The types of single values in a record: the names that are known, and the ranges of numbers."""

from typing import Annotated

from msgspec import Meta

Phase = Annotated[str, Meta(pattern="^(forward|gradient|train_step|step)$")]
Dtype = Annotated[str, Meta(pattern="^(float64|float32|bfloat16|float16)$")]
Precision = Annotated[str, Meta(pattern="^(highest|high|default)$")]
Way = Annotated[str, Meta(pattern="^(|placed|shard_map)$")]
Verdict = Annotated[str, Meta(pattern="^(faster|slower|indistinguishable)$")]
Clock = Annotated[str, Meta(pattern="^(blocked|pipelined)$")]
Label = Annotated[str, Meta(pattern="^(documented|functional|leaves|donated)$")]
Size = Annotated[str, Meta(pattern="^(batch|time|inputs|hidden)$")]

#: Numbers as a measurement gives them: seconds, seconds of a start of Python, other positive numbers, numbers from 0,
#: errors as a share of what is allowed, counts, and counts from 1.
Seconds = Annotated[float, Meta(ge=1e-12, le=1e7)]
Start = Annotated[float, Meta(ge=0, le=1e4)]
Positive = Annotated[float, Meta(gt=0, le=1e18)]
NotNegative = Annotated[float, Meta(ge=0, le=1e18)]
Admitted = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Natural = Annotated[int, Meta(ge=1, le=2**53)]
#: Rates of one device, in GFLOP/s and GB/s: a hundred times those of any that there is. Runnable processes.
ProductRate = Annotated[float, Meta(gt=0, le=1e8)]
CopyRate = Annotated[float, Meta(gt=0, le=1e6)]
Load = Annotated[float, Meta(ge=0, le=1e6)]
#: No machine has more CPUs.
Threads = Annotated[int, Meta(ge=1, le=2**16)]
