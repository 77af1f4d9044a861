package fleet

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowed is all that the pure packages may import, and what of time they may
// not use: whatever reads a clock or starts a timer.
var (
	allowed = []string{"container/heap", "encoding/json", "errors", "fmt", "hash/fnv", "maps", "math", "slices", "sort",
		"strconv", "strings", "time", "github.com/procguard/procguard/state"}
	clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}
)

// TestPure: the same events give the same actions, wherever and whenever.
func TestPure(t *testing.T) {
	for _, dir := range []string{".", "../../state"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal("no files in", dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, what := range impure(t, file, string(src)) {
				t.Error(what)
			}
		}
	}
}

// impure lists what in a file is not pure, with its place.
func impure(t *testing.T, name, src string) (found []string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	say := func(n ast.Node, what string) { found = append(found, set.Position(n.Pos()).String()+": "+what) }
	for _, imp := range file.Imports {
		if path := strings.Trim(imp.Path.Value, `"`); !slices.Contains(allowed, path) || imp.Name != nil {
			say(imp, "imports "+imp.Path.Value)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			say(n, "go statement")
		case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
			say(n, "channel")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
				say(n, "time."+n.Sel.Name)
			}
		}
		return true
	})
	return found
}

// TestImpureIsSeen: every kind of breach is found, also one that is not a call.
func TestImpureIsSeen(t *testing.T) {
	for _, src := range []string{
		`import "os"`, `import "sync"`, `import "math/rand"`, `import "log/slog"`, `import "net"`, `import "syscall"`,
		`import t "time"`, `import _ "embed"`, `func f() { go f() }`, `import "time"; var now = time.Now`,
		`import "time"; func f() { <-time.After(1) }`, `var c chan int`, `func f() { select {} }`,
	} {
		if len(impure(t, "x.go", "package x; "+src)) == 0 {
			t.Errorf("not seen: %s", src)
		}
	}
	if bad := impure(t, "x.go", `package x; import "time"; func f(t time.Time) time.Time { return t.Add(time.Second) }`); len(bad) != 0 {
		t.Errorf("what is pure is called impure: %v", bad)
	}
}
