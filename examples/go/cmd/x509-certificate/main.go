// Command x509-certificate is a minimal front-end: it has the certificate of a TLS server signed, good for a day.
//
//	x509-certificate KEY CA.pem REQUEST.csr OUT.pem
//
// A real one would first find out whether who is asking may have the names of the request.
package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"time"

	"countersign.example/signer"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 5 {
		log.Fatal("usage: x509-certificate KEY CA.pem REQUEST.csr OUT.pem")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		log.Fatalf("x509-certificate: %v", err)
	}
}

func run(key, caFile, requestFile, out string) error {
	// The CA's own certificate: the issuer and the authority key identifier are copied from it.
	der, err := readPEM(caFile, "CERTIFICATE")
	if err != nil {
		return err
	}
	issuer, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("%s: %w", caFile, err)
	}
	der, err = readPEM(requestFile, "CERTIFICATE REQUEST")
	if err != nil {
		return err
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return fmt.Errorf("%s: %w", requestFile, err)
	}
	if err := request.CheckSignature(); err != nil {
		return fmt.Errorf("%s is not signed by its own key: %w", requestFile, err)
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
	now := time.Now()
	notBefore := now.Add(-30 * time.Second) // for clocks that are slow
	if notBefore.Before(issuer.NotBefore) {
		notBefore = issuer.NotBefore
	}
	template := &x509.Certificate{
		// No serial number: crypto/x509 takes a random one, of more than 64 bits.
		SignatureAlgorithm:    ca.SignatureAlgorithm(),
		DNSNames:              request.DNSNames,
		NotBefore:             notBefore,
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, // and no CA
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, issuer, request.PublicKey, ca.Certificates())
	if err != nil {
		return err
	}
	return os.WriteFile(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o644)
}

func readPEM(file, kind string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s is not a %s in PEM", file, kind)
	}
	return block.Bytes, nil
}
