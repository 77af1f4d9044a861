package catch

const (
	sysRtSigaction   = 13
	sysRtSigprocmask = 14
	sysGetpid        = 39
	sysFcntl         = 72
	sysGettid        = 186
	sysPipe2         = 293
)
