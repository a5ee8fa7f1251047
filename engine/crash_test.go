package engine

func monitorRole() int { return 0 }
func daemonRole() int  { return 0 }
