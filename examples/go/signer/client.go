// Package signer lets a Go program have certificates signed by countersign.
//
// A [Key] gives signers for the standard library and for x/crypto: [Key.SSH] for ssh.Certificate.SignCert,
// [Key.Certificates] for x509.CreateCertificate and [Key.CRLs] for x509.CreateRevocationList. countersign reads what it
// signs, so these signers need the whole certificate and refuse a bare digest.
package signer

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	pb "countersign.example/countersign/v1"
)

// Client is a connection to a signer. It may be used by many goroutines.
type Client struct {
	// Attempt is how long one call may take. It is the call's gRPC deadline: work whose deadline has passed is not
	// given to the token.
	Attempt time.Duration
	// Patience is how long all attempts for one answer may take. With the time by which a certificate begins early keep
	// it below the profile's backdating (60 s if not set): after that it is too old to be asked for again.
	Patience time.Duration

	conn *grpc.ClientConn
	stub pb.SignerClient
}

// Dial names a signer (https://HOST:PORT) and the PEM files of mutual TLS. It does not wait for the signer to be there.
func Dial(address, caFile, certFile, keyFile string) (*Client, error) {
	server, err := url.Parse(address)
	if err != nil || server.Scheme != "https" || server.Port() == "" {
		return nil, fmt.Errorf("%q is not a signer's address; it must be https://HOST:PORT", address)
	}
	identity, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("the client certificate: %w", err)
	}
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("the CA of the signer's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s has no certificate in PEM", caFile)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{identity},
		RootCAs:      roots,
		MinVersion:   tls.VersionTLS13,
	}
	// grpc.NewClient, where there is one (gRPC 1.63), takes the same arguments.
	conn, err := grpc.Dial(server.Host, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return nil, fmt.Errorf("the signer at %s: %w", address, err)
	}
	return &Client{Attempt: 10 * time.Second, Patience: 25 * time.Second, conn: conn, stub: pb.NewSignerClient(conn)}, nil
}

// FromEnvironment is [Dial] with the variables of the countersign command line.
func FromEnvironment() (*Client, error) {
	var values []string
	for _, name := range []string{"COUNTERSIGN_SERVER", "COUNTERSIGN_TLS_CA", "COUNTERSIGN_TLS_CERT", "COUNTERSIGN_TLS_KEY"} {
		value := os.Getenv(name)
		if value == "" {
			return nil, fmt.Errorf("%s is not set", name)
		}
		values = append(values, value)
	}
	return Dial(values[0], values[1], values[2], values[3])
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Key is the CA key of this name, if the caller may use it.
func (c *Client) Key(ctx context.Context, name string) (*Key, error) {
	key, err := attempt(ctx, c, "", func(ctx context.Context) (*pb.Key, error) {
		return c.stub.GetKey(ctx, &pb.GetKeyRequest{Name: name})
	})
	if err != nil {
		return nil, err
	}
	public, err := x509.ParsePKIXPublicKey(key.Spki)
	if err != nil {
		return nil, fmt.Errorf("the signer sent a key that cannot be read: %w", err)
	}
	return &Key{client: c, key: key, public: public}, nil
}

// Sign has one TBS signed, and asks again with the same request id where an answer may have been lost: the signer then
// gives the same answer, and signs nothing a second time. Without a RequestId the request is given a random one; set
// one, and keep it with the TBS, to be able to ask again after a crash of your own.
func (c *Client) Sign(ctx context.Context, request *pb.SignRequest) (*pb.SignResponse, error) {
	if request.RequestId == "" {
		request.RequestId = rand.Text()
	}
	return attempt(ctx, c, request.RequestId, func(ctx context.Context) (*pb.SignResponse, error) {
		return c.stub.Sign(ctx, request)
	})
}

// attempt makes a call until it is answered, refused for good, or out of patience.
func attempt[T any](ctx context.Context, c *Client, requestID string, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	for pause := 200 * time.Millisecond; ; pause *= 2 {
		once, done := context.WithTimeout(ctx, c.Attempt)
		answer, err := call(once)
		done()
		if err == nil {
			return answer, nil
		}
		failed := newError(err, requestID)
		wait, again := failed.again(pause)
		if deadline, _ := ctx.Deadline(); !again || time.Now().Add(wait).After(deadline) {
			return answer, failed
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return answer, errors.Join(ctx.Err(), failed)
		}
	}
}
