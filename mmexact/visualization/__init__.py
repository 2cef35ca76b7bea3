"""Pictures and pages, and how MMSeg's loops draw samples."""

from mmexact.visualization.visualizer import SITSVisualizationHook, SITSVisualizer

__all__ = ['SITSVisualizationHook', 'SITSVisualizer']
