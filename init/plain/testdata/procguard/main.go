// Command procguard is what of ProcGuard a plain init needs, for the tests.
package main

import (
	"os"

	_ "github.com/procguard/procguard/init/first"
)

func main() { os.Exit(99) } // not a plain call
