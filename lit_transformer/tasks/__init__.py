"""One LightningModule per value of `task`; base.py is their only base class."""
