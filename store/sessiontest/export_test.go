package sessiontest

import "time"

// SetPatience makes the kit wait less for what never comes. The faults of a child never come.
func SetPatience(d time.Duration) { patience = d }
