"""What tools and notebooks call."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmexact.apis.inferencer import Prediction, SITSInferencer

__all__ = ['Prediction', 'SITSInferencer']


def __getattr__(name: str) -> Any:
    """Import what is asked for: tools that need none of it start without."""
    if name in __all__:
        from mmexact.apis import inferencer

        return getattr(inferencer, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
