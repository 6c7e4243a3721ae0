package signer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc/codes"
)

// The tests run in the directory of a signer whose keys are NAME-ca with NAME-ca.pem, and ssh-NAME; tests/black_box/front_ends.rs
// makes one, and lets OpenSSL and ssh-keygen read what they write.

var _ crypto.MessageSigner = (*X509Signer)(nil)

func dial(t *testing.T) *Client {
	t.Helper()
	client, err := FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// authorities are the X.509 CAs: each key with its certificate.
func authorities(t *testing.T) map[*Key]*x509.Certificate {
	t.Helper()
	client := dial(t)
	files, err := filepath.Glob("*-ca.pem")
	if err != nil || len(files) == 0 {
		t.Fatalf("no CAs: %v", err)
	}
	found := make(map[*Key]*x509.Certificate)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		issuer, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		key, err := client.Key(context.Background(), strings.TrimSuffix(file, ".pem"))
		if err != nil {
			t.Fatal(err)
		}
		found[key] = issuer
	}
	return found
}

func server(key *Key) *x509.Certificate {
	return &x509.Certificate{
		SignatureAlgorithm:    key.SignatureAlgorithm(),
		DNSNames:              []string{"www.example.org"},
		NotBefore:             time.Now(),
		NotAfter:              time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
}

func subject(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestCreateCertificateWorksUnchangedWithEveryScheme(t *testing.T) {
	for key, issuer := range authorities(t) {
		name := key.key.Name
		der, err := x509.CreateCertificate(rand.Reader, server(key), issuer, subject(t).Public(), key.Certificates())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if err := os.WriteFile(name+".leaf.pem", text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCreateRevocationListWorksUnchanged(t *testing.T) {
	for key, issuer := range authorities(t) {
		name := key.key.Name
		list := &x509.RevocationList{
			SignatureAlgorithm: key.SignatureAlgorithm(),
			Number:             big.NewInt(1),
			ThisUpdate:         time.Now(),
			NextUpdate:         time.Now().Add(time.Hour),
		}
		der, err := x509.CreateRevocationList(rand.Reader, list, issuer, key.CRLs())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
		if err := os.WriteFile("by-"+name+".crl", text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// older is what a crypto/x509 before Go 1.25 sees of a signer.
type older struct{ crypto.Signer }

func TestADigestIsRefusedWithAReason(t *testing.T) {
	for key, issuer := range authorities(t) {
		_, err := x509.CreateCertificate(rand.Reader, server(key), issuer, subject(t).Public(), older{key.Certificates()})
		if _, pure := key.public.(ed25519.PublicKey); pure {
			// Ed25519 hashes by itself, so even then it gets the whole certificate.
			if err != nil {
				t.Errorf("%s: %v", key.key.Name, err)
			}
			continue
		}
		if !errors.Is(err, ErrDigest) {
			t.Errorf("%s: %v", key.key.Name, err)
		}
		digest := sha256.Sum256([]byte("pay the bearer"))
		if _, err := key.Certificates().Sign(rand.Reader, digest[:], crypto.SHA256); !errors.Is(err, ErrDigest) {
			t.Errorf("%s: %v", key.key.Name, err)
		}
	}
}

func user(serial uint64, principal string) *ssh.Certificate {
	return &ssh.Certificate{
		Serial:          serial,
		CertType:        ssh.UserCert,
		KeyId:           "alice@laptop",
		ValidPrincipals: []string{principal},
		ValidAfter:      uint64(time.Now().Unix()),
		ValidBefore:     uint64(time.Now().Add(time.Hour - time.Minute).Unix()),
	}
}

func TestSignCertWorksUnchangedWithEveryScheme(t *testing.T) {
	client := dial(t)
	for at, name := range []string{"ssh-ecdsa-p256-sha256", "ssh-ecdsa-p384-sha384", "ssh-ed25519", "ssh-rsa-pkcs1-sha256", "ssh-rsa-pkcs1-sha512"} {
		key, err := client.Key(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		authority, err := key.SSH()
		if err != nil {
			t.Fatal(err)
		}
		certificate := user(uint64(at+1), "alice")
		if certificate.Key, err = ssh.NewPublicKey(subject(t).Public()); err != nil {
			t.Fatal(err)
		}
		if err := certificate.SignCert(rand.Reader, authority); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.WriteFile("by-"+name+"-cert.pub", ssh.MarshalAuthorizedKey(certificate), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARefusalCarriesWhatTheSignerSaid(t *testing.T) {
	client := dial(t)
	key, err := client.Key(context.Background(), "ssh-ed25519")
	if err != nil {
		t.Fatal(err)
	}
	authority, err := key.SSH()
	if err != nil {
		t.Fatal(err)
	}
	certificate := user(99, "root")
	if certificate.Key, err = ssh.NewPublicKey(subject(t).Public()); err != nil {
		t.Fatal(err)
	}
	var refused *Error
	if err := certificate.SignCert(rand.Reader, authority); !errors.As(err, &refused) {
		t.Fatalf("not refused by the signer: %v", err)
	}
	if refused.Code != codes.PermissionDenied || refused.Reason != "PRINCIPAL_NOT_ALLOWED" || refused.Entry == "" || refused.RequestID == "" {
		t.Errorf("%#v", refused)
	}
	if _, err := client.Key(context.Background(), "no-such-key"); !errors.As(err, &refused) || refused.Reason != "KEY_NOT_AVAILABLE" {
		t.Errorf("%v", err)
	}
	// A login is no certificate.
	if _, err := authority.Sign(rand.Reader, []byte("session id and user name")); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
}
