"""Pure decisions: functions of (state, now). No wire, no disk, no clock."""
