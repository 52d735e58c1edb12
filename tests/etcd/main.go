// etcd, as its own release builds it. `go install` of the server module is refused because of its replace directives, so a
// program of three lines stands around it; go.mod pins the version.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
