package config

// settle makes of what was written what holds.
func (e *entry) settle() {
	e.HeartbeatTimeout, e.HeartbeatAuto = e.beat.timeout, e.beat.auto
	if e.Ready.Log == nil {
		e.Ready.Log = e.LogPattern.Ready
	}
}

// checkLife looks at signs of life, dumps and limits that bear on each other.
// What came from `defaults` may well be of no use to one worker; what stands in
// its own entry may not.
func (d *decoder) checkLife(e *entry) {
	if e.LogPattern.Ready != nil && readyChecks(&e.Ready) != nil {
		d.fail(e.place("log_pattern"), "", "log_pattern.ready is a readiness check, and `ready` has another one")
	}
	e.settle()
	for _, rule := range []struct {
		key  string
		lost bool
		why  string
	}{
		{"health_check_body", e.HealthCheckURL == "", "health_check_body has no effect without health_check_url"},
		{"heartbeat_floor", !e.HeartbeatAuto, "heartbeat_floor has no effect without `heartbeat_timeout: auto`"},
		{"max_cpu_window", e.MaxCPU == 0, "max_cpu_window has no effect without max_cpu"},
		{"dump", e.DumpTimeout == 0, "dump has no effect, because dump_timeout is 0"},
		{"dump_signal", e.DumpTimeout == 0, "dump_signal has no effect, because dump_timeout is 0"},
		{"dump_signal", e.DumpSignal != 0 && e.DumpSignal == e.Stop.Signal, "dump_signal is the stop signal: it would stop the worker"},
	} {
		if rule.lost && d.own(e, rule.key) {
			d.fail(e.place(rule.key), "", "%s", rule.why)
		}
	}
}

// own tells whether a key stands in the entry itself, not in `defaults`.
func (d *decoder) own(e *entry, key string) bool {
	n := e.marks[key]
	return n != nil && n != d.root.defaults.marks[key]
}

// checkWindows refuses windows that hold no sample.
func (d *decoder) checkWindows(c *Config, entries []*entry) {
	for _, e := range entries {
		if e.MaxCPU > 0 && e.MaxCPUWindow < 2*c.Monitoring.Interval {
			d.fail(e.place("max_cpu"), "make it longer, or monitoring.interval shorter",
				"max_cpu_window (%v) is shorter than two times monitoring.interval (%v)", e.MaxCPUWindow, c.Monitoring.Interval)
		}
	}
}
