"""A show of the main job on four real servers, shipped with the package: `recloser demo`."""
