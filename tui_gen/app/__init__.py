"""The workbench: reads runs and asks workers; never imports PyTorch."""
