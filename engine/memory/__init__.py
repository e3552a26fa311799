"""Who is resident where, in bytes. The only place that asks a device or a driver for facts."""
