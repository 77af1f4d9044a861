package evidence

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/procguard/procguard/state/journal/incident"
	"github.com/procguard/procguard/supervise/cause"
)

func TestParseKernel(t *testing.T) {
	rows := []struct {
		text string
		want cause.KernelFact
	}{
		{"Memory cgroup out of memory: Killed process 4242 (python3) total-vm:9kB, anon-rss:8kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0",
			cause.KernelFact{Kind: cause.KernelOOM, PID: 4242, Comm: "python3", Memcg: true}},
		{"Out of memory: Killed process 7 (a (b) c) total-vm:9kB", cause.KernelFact{Kind: cause.KernelOOM, PID: 7, Comm: "a (b) c"}},
		{"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/docker/a,task_memcg=/docker/a,task=python3,pid=99,uid=0",
			cause.KernelFact{Kind: cause.KernelOOM, PID: 99, Comm: "python3", Memcg: true}},
		{"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=x,mems_allowed=0,global_oom,task_memcg=/a,task=sh,pid=5,uid=0", cause.KernelFact{Kind: cause.KernelOOM, PID: 5, Comm: "sh"}},
		{"python3[831]: segfault at 0 ip 00007f0 sp 00007ffd1000 error 4 in libc.so.6[7f0+1]", cause.KernelFact{Kind: cause.KernelFault, PID: 831, Comm: "python3"}},
		{"pt main[831]: segfault at 7ffd0fffff8 ip 00007f0 sp 00007ffd1000000 error 6 in x[7f0+1]", cause.KernelFact{Kind: cause.KernelFault, PID: 831, Comm: "pt main", Stack: true}},
		{"traps: python3[12] trap divide error ip:7f0 sp:7ff error:0 in x.so[7f0+1]", cause.KernelFact{Kind: cause.KernelFault, PID: 12, Comm: "python3"}},
		{"traps: python3[12] general protection fault ip:7f0 sp:7ff error:0 in x.so", cause.KernelFact{Kind: cause.KernelFault, PID: 12, Comm: "python3"}},
		{"NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python3, GPU has fallen off the bus.", cause.KernelFact{Kind: cause.KernelXid, PID: 1234, Xid: 79}},
		{"NVRM: Xid (PCI:0000:3b:00): 48, pid='<unknown>', name=<unknown>, DBE", cause.KernelFact{Kind: cause.KernelXid, Xid: 48}},
		{"INFO: task kworker/u8:2:77 blocked for more than 120 seconds.", cause.KernelFact{Kind: cause.KernelHung, PID: 77, Comm: "kworker/u8:2"}},
	}
	for _, r := range rows {
		r.want.Text = r.text
		if got, ok := parseKernel(r.text); !ok || got != r.want {
			t.Errorf("%s:\n got %+v\nwant %+v", r.text, got, r.want)
		}
	}
	for _, other := range []string{"", "usb 1-1: new device", "Out of memory", "x[y]: segfault at z"} {
		if got, ok := parseKernel(other); ok {
			t.Errorf("%q: %+v", other, got)
		}
	}
}

func TestKernelRecord(t *testing.T) {
	k := &KernelLog{fd: -1, boot: time.Unix(1000, 0)}
	f, ok := k.record("6,339,5140900,-;Out of memory: Killed process 7 (x) total-vm\n SUBSYSTEM=y\n")
	if !ok || f.PID != 7 || !f.Time.Equal(time.Unix(1005, 140900000)) || strings.Contains(f.Text, "SUBSYSTEM") {
		t.Errorf("%v %+v", ok, f)
	}
	for _, bad := range []string{"", "6,339", "6,339,x,-;Out of memory: Killed process 7 (x) total-vm", "6,339,1,-;nothing"} {
		if _, ok := k.record(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
	k.facts = []cause.KernelFact{{PID: 1, Time: time.Unix(10, 0)}, {PID: 2, Time: time.Unix(20, 0)}}
	if got := k.Since(time.Unix(15, 0)); len(got) != 1 || got[0].PID != 2 {
		t.Errorf("%+v", got)
	}
	var none *KernelLog
	none.Close()
	if none.Since(time.Time{}) != nil {
		t.Error("nothing knows something")
	}
	if _, err := OpenKernelLog(t.TempDir()); err == nil {
		t.Error("opened what is not there")
	}
}

func TestMask(t *testing.T) {
	rows := [][2]string{
		{"train.py --lr 0.1 --epochs 3", "train.py --lr 0.1 --epochs 3"},
		{"x --password hunter2 --lr 1", "x --password *** --lr 1"},
		{"x --api-key=abc", "x --api-key=***"},
		{"x WANDB_API_KEY=abc", "x WANDB_API_KEY=***"},
		{"curl https://u:pw@host/x", "curl https://u:***@host/x"},
		{"x hf_abcdefghijkl", "x ***"},
		{"x --auth --lr 1", "x --auth --lr 1"},
		{"x --tokenizer-path /a", "x --tokenizer-path ***"}, // too much is hidden, rather than too little
	}
	for _, r := range rows {
		if got := strings.Join(mask(strings.Fields(r[0])), " "); got != r[1] {
			t.Errorf("%q: %q, want %q", r[0], got, r[1])
		}
	}
	if got := mask([]string{"Authorization: Bearer abc.def", `{"secret": "s3", "a": 1}`}); got[0] != "Authorization: Bearer ***" || got[1] != `{"secret": "***", "a": 1}` {
		t.Errorf("%q", got)
	}
}

func TestAllowed(t *testing.T) {
	got := allowed([]string{"RANK=1", "HOME=/root", "NCCL_DEBUG=INFO", "NCCL_AUTH_TOKEN=x", "AWS_SECRET_ACCESS_KEY=x", "WORLD_SIZE=2", "broken", "RANKED=1"})
	if !slices.Equal(got, []string{"NCCL_DEBUG=INFO", "RANK=1", "WORLD_SIZE=2"}) {
		t.Errorf("%q", got)
	}
}

func TestCore(t *testing.T) {
	began := time.Now().Add(-time.Minute)
	rows := []struct {
		pattern, uses, file string
		want                incident.Core
	}{
		{"core\n", "0\n", "work/core", incident.Core{File: "work/core", SizeBytes: 4}},
		{"core", "1", "work/core.42", incident.Core{File: "work/core.42", SizeBytes: 4}},
		{"core", "1", "work/core.43", incident.Core{Note: "there is no file"}},
		{"/cores/%e.%p.%t%%[1]", "0", "cores/python3.42.1700%[1]", incident.Core{File: "cores/python3.42.1700%[1]", SizeBytes: 4}},
		{"/cores/%e.%p", "0", "cores/python3.43", incident.Core{Note: "there is no file"}},
		{"|/usr/share/apport/apport -p%p", "0", "", incident.Core{Handler: "/usr/share/apport/apport", Note: "/var/crash"}},
		{"|/lib/systemd/systemd-coredump %P", "0", "", incident.Core{Handler: "/lib/systemd/systemd-coredump", Note: "coredumpctl"}},
	}
	for _, r := range rows {
		w := newWorld(t, map[string]string{"proc/sys/kernel/core_pattern": r.pattern, "proc/sys/kernel/core_uses_pid": r.uses})
		if r.file != "" {
			w.write(r.file, "core")
		}
		got := New(Options{Root: w.root}).Core(Crash{PID: 42, Dir: "/work", From: began})
		want := r.want
		if want.File != "" {
			want.File = filepath.Join(w.root, want.File)
		}
		if got.File != want.File || got.SizeBytes != want.SizeBytes || got.Handler != want.Handler || !strings.Contains(got.Note, want.Note) {
			t.Errorf("%q: %+v, want %+v", r.pattern, got, want)
		}
	}
	w := newWorld(t, map[string]string{"proc/sys/kernel/core_pattern": "core", "work/core": "old"})
	if got := New(Options{Root: w.root}).Core(Crash{PID: 42, Dir: "/work", From: time.Now().Add(time.Hour)}); got.File != "" {
		t.Errorf("an old core was taken: %+v", got)
	}
}

func TestSumMaps(t *testing.T) {
	const maps = `55d0-65d0 r--p 00000000 fe:01 1 /usr/bin/python3.11
65d0-75d0 r-xp 00000000 fe:01 1 /usr/bin/python3.11
7f00000-7f99000 rw-p 00000000 00:00 0
7fff000-7fff800 rw-p 00000000 00:00 0 [stack]
a-b rw-p 00000000 00:01 5 /dev/shm/a b (deleted)
broken line
`
	got := sumMaps([]byte(maps))
	want := []mapping{{"[anonymous]", 0x99000, 1}, {"/usr/bin/python3.11", 0x2000, 2}, {"[stack]", 0x800, 1}, {"/dev/shm/a b (deleted)", 1, 1}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestKinds(t *testing.T) {
	for to, want := range map[string]string{"/dev/nvidia0": "gpu", "/dev/shm/x": "shared memory", "/dev/null": "device", "/a/b": "file",
		"socket:[1]": "socket", "pipe:[2]": "pipe", "anon_inode:[eventpoll]": "eventpoll", "": "closed meanwhile"} {
		if got := kind(to); got != want {
			t.Errorf("%q is %s", to, got)
		}
	}
}

func TestStat(t *testing.T) {
	s, ok := parseStat([]byte("42 (a) b) S 7 8 9 0 -1 4194304 1 2 3 4 150 50 7 8 20 0 3 0 987654\n"))
	if !ok || s.pid != 42 || s.comm != "a) b" || s.state != "S" || s.ppid != 7 || s.ticks != 200 || s.threads != 3 {
		t.Errorf("%v %+v", ok, s)
	}
	for _, bad := range []string{"", "42", "42 (a) S 1 2"} {
		if _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestReadFileIsBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte(strings.Repeat("x", 100000)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 4096, 5000, 100000, 200000} {
		if data, err := readFile(name, limit); err != nil || len(data) != min(limit, 100000) {
			t.Errorf("limit %d: %d bytes, %v", limit, len(data), err)
		}
	}
}

func TestDescribe(t *testing.T) {
	now := time.Now()
	d := cause.Death{Worker: "w", PID: 42, Signal: "SIGKILL", Time: now, Error: &cause.ErrorFile{Time: now}}
	g := Growth{Memory: cause.Memory{Known: true, Shared: true, Container: 2}, Cgroup: &incident.Cgroup{}}
	Fill(&d, g, &incident.Process{State: "R", CPU: 5}, []cause.KernelFact{
		{Kind: cause.KernelOOM, PID: 42, Memcg: true}, {Kind: cause.KernelFault, PID: 9}, {Kind: cause.KernelXid, Xid: 79},
	})
	v := cause.Classify(d)
	var w incident.Worker
	Describe(&w, &d, &v, g)
	if w.Class != "oom_container" || w.Confidence != "certain" || w.SignalSender != cause.SenderOOM || w.OOMKills != 2 || w.ErrorTimeMS != now.UnixMilli() || len(w.Kernel) != 2 || d.Look.CPU != 5 {
		t.Errorf("%+v", w)
	}
	if f := CgroupFile(&incident.Cgroup{Version: 2}); f.Name != "cgroup.json" || !strings.Contains(string(f.Data), `"version": 2`) {
		t.Errorf("%s", f.Data)
	}
	if f := RusageFile(&incident.Usage{UserMS: 5}); !strings.Contains(string(f.Data), `"user_ms": 5`) {
		t.Errorf("%s", f.Data)
	}
}
