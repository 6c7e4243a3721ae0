// Command ssh-certificate is a minimal front-end: it has an SSH user certificate signed, good for an hour.
//
//	ssh-certificate KEY id_ed25519.pub PRINCIPAL    writes id_ed25519-cert.pub
//
// A real one would first find out who is asking, and which principals that person has.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"countersign.example/signer"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: ssh-certificate KEY PUBLIC-KEY PRINCIPAL")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatalf("ssh-certificate: %v", err)
	}
}

func run(key, file, principal string) error {
	line, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	subject, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	client, err := signer.FromEnvironment()
	if err != nil {
		return err
	}
	defer client.Close()
	ca, err := client.Key(context.Background(), key)
	if err != nil {
		return err
	}
	authority, err := ca.SSH()
	if err != nil {
		return err
	}

	serial := make([]byte, 8)
	rand.Read(serial) // never fails, since Go 1.24
	now := time.Now()
	certificate := &ssh.Certificate{
		Key:             subject,
		Serial:          binary.BigEndian.Uint64(serial), // never the same twice, so that it can be revoked
		CertType:        ssh.UserCert,
		KeyId:           principal + "@" + file, // what sshd logs
		ValidPrincipals: []string{principal},
		ValidAfter:      uint64(now.Add(-30 * time.Second).Unix()), // for clocks that are slow
		ValidBefore:     uint64(now.Add(time.Hour - time.Minute).Unix()),
		Permissions:     ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}},
	}
	if err := certificate.SignCert(rand.Reader, authority); err != nil {
		return err
	}
	out := strings.TrimSuffix(file, ".pub") + "-cert.pub"
	return os.WriteFile(out, ssh.MarshalAuthorizedKey(certificate), 0o644)
}
