package evidence

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/procguard/procguard/state/journal/incident"
)

// Names of variables whose values say how a rank was set up. No other value is
// ever saved.
var (
	shown = []string{"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_NAME",
		"ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "NVIDIA_VISIBLE_DEVICES",
		"ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONFAULTHANDLER", "PYTHONUNBUFFERED",
		"PROCGUARD_WORKER_ID", "PROCGUARD_INSTANCE", "PROCGUARD_NODE", "PROCGUARD_GROUP", "PROCGUARD_EPOCH", "PROCGUARD_RESTART_COUNT"}
	shownPrefixes = []string{"NCCL_", "TORCH_NCCL_", "TORCH_DISTRIBUTED_", "GLOO_", "TORCHELASTIC_", "PYTORCH_CUDA_", "PYTORCH_ALLOC_", "UCX_", "FI_"}
)

// secret is what a name of a variable, an option or a query field looks like
// whose value is nobody's business.
const secretName = `(?i:[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|auth(?:orization)?)[\w.-]*)`

var (
	secret     = regexp.MustCompile(`^` + secretName + `$`)
	secretFlag = regexp.MustCompile(`^--?` + secretName + `$`)
	// In the middle of an argument: name=value, "name": "value", scheme://user:password@
	secretPart = regexp.MustCompile(`(` + secretName + `["']?\s*[=:]\s*["']?(?:[Bb]earer\s+)?)[^\s"'&,;]+`)
	userinfo   = regexp.MustCompile(`(://[^\s/:@]*:)[^\s/@]+@`)
	// What providers' keys look like by themselves.
	knownKeys = regexp.MustCompile(`\b(?:sk-|hf_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|eyJ[\w-]+\.)[\w.-]{8,}`)
)

const masked = "***"

// mask hides in a command line what looks like a secret. It may hide too much.
func mask(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		if i > 0 && secretFlag.MatchString(args[i-1]) && !strings.HasPrefix(a, "-") {
			out[i] = masked
			continue
		}
		a = secretPart.ReplaceAllString(a, "${1}"+masked)
		a = userinfo.ReplaceAllString(a, "${1}"+masked+"@")
		out[i] = knownKeys.ReplaceAllString(a, masked)
	}
	return out
}

// allowed picks the variables that may be shown.
func allowed(environ []string) (out []string) {
	for _, kv := range environ {
		name, _, ok := strings.Cut(kv, "=")
		prefix := slices.ContainsFunc(shownPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		if ok && !secret.MatchString(name) && (prefix || slices.Contains(shown, name)) {
			out = append(out, kv)
		}
	}
	slices.Sort(out)
	return out
}

// command saves the command line and the variables that may be shown.
func (c *Collector) command(pid int) (p part) {
	data, err := readFile(c.proc(pid, "cmdline"), 16<<10)
	if err != nil {
		p.missing = append(p.missing, "cmdline: "+err.Error())
	}
	line := strings.Join(mask(split(data)), " ")
	env, err := readFile(c.proc(pid, "environ"), 1<<20)
	if err != nil {
		p.missing = append(p.missing, "environ: "+err.Error())
	}
	var b bytes.Buffer
	b.WriteString(line + "\n\n")
	for _, kv := range mask(allowed(split(env))) {
		b.WriteString(kv + "\n")
	}
	p.file("command", b.Bytes())
	p.process = func(out *incident.Process) { out.Command = line[:min(len(line), 1000)] }
	return p
}

func split(data []byte) []string {
	s := strings.TrimRight(string(data), "\x00")
	if s == "" {
		return nil
	}
	return strings.Split(strings.ToValidUTF8(s, "?"), "\x00")
}
