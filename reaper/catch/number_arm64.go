package catch

const (
	sysFcntl         = 25
	sysPipe2         = 59
	sysRtSigaction   = 134
	sysRtSigprocmask = 135
	sysGetpid        = 172
	sysGettid        = 178
)
