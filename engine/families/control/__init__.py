"""Networks that steer a U-Net by pictures: ControlNets in all their forms, and T2I-Adapters."""
