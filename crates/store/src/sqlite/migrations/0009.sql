-- Work modes of applications and of single devices: 0 PSM, 1 DRX, 2 eDRX with its cycle; null: not said.
ALTER TABLE app ADD COLUMN work_mode INTEGER;
ALTER TABLE app ADD COLUMN cycle_secs INTEGER;
ALTER TABLE device ADD COLUMN work_mode INTEGER;
ALTER TABLE device ADD COLUMN cycle_secs INTEGER;
