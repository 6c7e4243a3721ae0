// Command step-ca runs step-ca's own server from Debian's packages of it, which come without the program.
package main

import (
	"log"
	"os"

	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/ca"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(file string) error {
	settings, err := config.LoadConfiguration(file)
	if err != nil {
		return err
	}
	server, err := ca.New(settings, ca.WithConfigFile(file))
	if err != nil {
		return err
	}
	return server.Run()
}
