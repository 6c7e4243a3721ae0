package signer

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"

	pb "countersign.example/countersign/v1"
)

// ErrDigest is what a bare digest is answered with.
var ErrDigest = errors.New("countersign reads what it signs, so it takes whole certificates and no digests; " +
	"build with Go 1.25 or later, whose crypto/x509 hands the certificate over (crypto.MessageSigner)")

var (
	_ crypto.Signer = (*X509Signer)(nil) // and a crypto.MessageSigner, of Go 1.25
	_ ssh.Signer    = (*SSHSigner)(nil)
)

// Key is a CA key that stays in the signer's token.
type Key struct {
	client *Client
	key    *pb.Key
	public crypto.PublicKey
}

// SignatureAlgorithm is what the key signs X.509 objects with. Put it into the template: without it crypto/x509 takes
// SHA-256 for every RSA key.
func (k *Key) SignatureAlgorithm() x509.SignatureAlgorithm {
	return map[pb.Scheme]x509.SignatureAlgorithm{
		pb.Scheme_SCHEME_ECDSA_P256_SHA256: x509.ECDSAWithSHA256,
		pb.Scheme_SCHEME_ECDSA_P384_SHA384: x509.ECDSAWithSHA384,
		pb.Scheme_SCHEME_ECDSA_P521_SHA512: x509.ECDSAWithSHA512,
		pb.Scheme_SCHEME_ED25519:           x509.PureEd25519,
		pb.Scheme_SCHEME_RSA_PKCS1_SHA256:  x509.SHA256WithRSA,
		pb.Scheme_SCHEME_RSA_PKCS1_SHA384:  x509.SHA384WithRSA,
		pb.Scheme_SCHEME_RSA_PKCS1_SHA512:  x509.SHA512WithRSA,
		pb.Scheme_SCHEME_RSA_PSS_SHA256:    x509.SHA256WithRSAPSS,
		pb.Scheme_SCHEME_RSA_PSS_SHA384:    x509.SHA384WithRSAPSS,
		pb.Scheme_SCHEME_RSA_PSS_SHA512:    x509.SHA512WithRSAPSS,
	}[k.key.Scheme]
}

// Certificates is this key as crypto/x509 wants it for CreateCertificate.
func (k *Key) Certificates() *X509Signer {
	return &X509Signer{k, func(tbs []byte) *pb.SignRequest {
		return &pb.SignRequest{Tbs: &pb.SignRequest_X509Certificate{X509Certificate: tbs}}
	}}
}

// CRLs is this key as crypto/x509 wants it for CreateRevocationList.
func (k *Key) CRLs() *X509Signer {
	return &X509Signer{k, func(tbs []byte) *pb.SignRequest {
		return &pb.SignRequest{Tbs: &pb.SignRequest_X509Crl{X509Crl: tbs}}
	}}
}

// SSH is this key as x/crypto/ssh wants it for Certificate.SignCert.
func (k *Key) SSH() (*SSHSigner, error) {
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(k.key.Openssh))
	if err != nil {
		return nil, fmt.Errorf("the signer sent a key that cannot be read: %w", err)
	}
	return &SSHSigner{k, public}, nil
}

func (k *Key) sign(request *pb.SignRequest) (*pb.SignResponse, error) {
	request.Key = k.key.Name
	// Neither interface passes a context on; Client.Patience ends it.
	return k.client.Sign(context.Background(), request)
}

// X509Signer is a crypto.Signer and a crypto.MessageSigner for one kind of X.509 object.
type X509Signer struct {
	key     *Key
	request func(tbs []byte) *pb.SignRequest
}

// Public is the CA's public key.
func (s *X509Signer) Public() crypto.PublicKey { return s.key.public }

// SignMessage signs a whole TBS. crypto/x509 calls it since Go 1.25, and verifies what it returns.
func (s *X509Signer) SignMessage(_ io.Reader, tbs []byte, _ crypto.SignerOpts) ([]byte, error) {
	// The hash in the options is the one that the TBS names, and the signer compares that with the key's scheme.
	response, err := s.key.sign(s.request(tbs))
	if err != nil {
		return nil, err
	}
	return response.Signature, nil
}

// Sign signs a whole TBS, which is what it is given for Ed25519, and refuses a digest with [ErrDigest].
func (s *X509Signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != 0 {
		return nil, ErrDigest
	}
	return s.SignMessage(rand, digest, opts)
}

// SSHSigner is an ssh.Signer that signs certificates, and no logins. It is deliberately no ssh.AlgorithmSigner: SignCert
// asks those for rsa-sha2-512 of any RSA key, and this key signs by its own scheme alone.
type SSHSigner struct {
	key    *Key
	public ssh.PublicKey
}

// PublicKey is the CA's public key.
func (s *SSHSigner) PublicKey() ssh.PublicKey { return s.public }

// Sign signs the TBS of a certificate.
func (s *SSHSigner) Sign(_ io.Reader, tbs []byte) (*ssh.Signature, error) {
	response, err := s.key.sign(&pb.SignRequest{Tbs: &pb.SignRequest_SshCertificate{SshCertificate: tbs}})
	if err != nil {
		return nil, err
	}
	signature := new(ssh.Signature)
	if err := ssh.Unmarshal(response.Signature, signature); err != nil {
		return nil, fmt.Errorf("the signer sent a signature that cannot be read: %w", err)
	}
	if err := s.public.Verify(tbs, signature); err != nil {
		return nil, fmt.Errorf("the signer sent a wrong signature: %w", err)
	}
	return signature, nil
}
