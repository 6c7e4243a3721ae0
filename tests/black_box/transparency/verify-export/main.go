// Verifies an export of a ledger with the libraries of Go's checksum database (golang.org/x/mod/sumdb), which know nothing
// of countersign: the checkpoint's signatures by the keys that are given, whoever else has signed it, that every entry of every
// bundle is in the tree that was signed, and that this tree continues smaller ones.
// The keys after the log's first are its ECDSA key (C2SP signed-note, type 0x02) or a witness's (C2SP tlog-cosignature, 0x04).
// With -request also what a witness was sent (C2SP tlog-witness), of the same log before: that it is signed, and its proof.
// Usage: verify-export [-request FILE] DIRECTORY ED25519-KEY [KEY]...
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The height of the tiles: each is 2^height hashes wide.
const height = 8

// An export, as sumdb/tlog reads tiles.
type export struct{ directory string }

func (e export) Height() int { return height }

func (e export) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		// The checksum database has the height in its paths, C2SP tlog-tiles has not.
		name := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		content, err := os.ReadFile(filepath.Join(e.directory, name))
		if err != nil {
			return nil, err
		}
		all = append(all, content)
	}
	return all, nil
}

func (e export) SaveTiles([]tlog.Tile, [][]byte) {}

// The entries of the bundle that the entry is in, of a log of so many.
func (e export) bundle(index, size int64) ([][]byte, error) {
	tile := tlog.Tile{H: height, L: -1, N: index >> height, W: 1 << height}
	if rest := size - tile.N<<height; rest < int64(tile.W) {
		tile.W = int(rest)
	}
	name := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/data/", height), "tile/entries/", 1)
	rest, err := os.ReadFile(filepath.Join(e.directory, name))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest) < 2+int(binary.BigEndian.Uint16(rest)) {
			return nil, fmt.Errorf("%s is cut off", name)
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		entries = append(entries, rest[2:end])
		rest = rest[end:]
	}
	if len(entries) != tile.W {
		return nil, fmt.Errorf("%s has %d entries, not %d", name, len(entries), tile.W)
	}
	return entries, nil
}

// An ECDSA key of C2SP signed-note, type 0x02, which sumdb/note leaves to others.
type ecdsaVerifier struct {
	name string
	hash uint32
	key  *ecdsa.PublicKey
}

func newECDSAVerifier(name, id string, encoded []byte) (note.Verifier, error) {
	parsed, err := x509.ParsePKIXPublicKey(encoded)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	sum := sha256.Sum256(encoded)
	hash := binary.BigEndian.Uint32(sum[:])
	if !ok || fmt.Sprintf("%08x", hash) != id {
		return nil, fmt.Errorf("the ECDSA key of %s has another id", name)
	}
	return ecdsaVerifier{name, hash, key}, nil
}

func (v ecdsaVerifier) Name() string    { return v.name }
func (v ecdsaVerifier) KeyHash() uint32 { return v.hash }
func (v ecdsaVerifier) Verify(msg, sig []byte) bool {
	sum := sha256.Sum256(msg)
	return ecdsa.VerifyASN1(v.key, sum[:], sig)
}

// A witness of C2SP tlog-cosignature, type 0x04, which signs the time with the checkpoint.
type witnessVerifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newWitnessVerifier(name, id string, key []byte) (note.Verifier, error) {
	sum := sha256.Sum256(append([]byte(name+"\n\x04"), key...))
	hash := binary.BigEndian.Uint32(sum[:])
	if len(key) != ed25519.PublicKeySize || fmt.Sprintf("%08x", hash) != id {
		return nil, fmt.Errorf("the key of witness %s has another id", name)
	}
	return witnessVerifier{name, hash, key}, nil
}

func (v witnessVerifier) Name() string    { return v.name }
func (v witnessVerifier) KeyHash() uint32 { return v.hash }
func (v witnessVerifier) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(v.key, []byte(signed), sig[8:])
}

// A key that sumdb/note does not know.
func newVerifier(text string) (note.Verifier, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("%q is no key", text)
	}
	encoded, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(encoded) == 0 {
		return nil, fmt.Errorf("%q is no key", text)
	}
	switch encoded[0] {
	case 2:
		return newECDSAVerifier(parts[0], parts[1], encoded[1:])
	case 4:
		return newWitnessVerifier(parts[0], parts[1], encoded[1:])
	}
	return nil, fmt.Errorf("%q is neither an ECDSA key nor a witness's", text)
}

func openCheckpoint(signed []byte, keys ...note.Verifier) (tlog.Tree, error) {
	var tree tlog.Tree
	opened, err := note.Open(signed, note.VerifierList(keys...))
	if err != nil {
		return tree, err
	}
	if len(opened.Sigs) != len(keys) {
		return tree, fmt.Errorf("%d of %d signatures", len(opened.Sigs), len(keys))
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != keys[0].Name() {
		return tree, fmt.Errorf("no checkpoint of %s: %q", keys[0].Name(), opened.Text)
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// Whether a request proves that the checkpoint in it, by key, continues the first so many entries of the log that hashes are of.
func verifyRequest(request []byte, hashes tlog.HashReader, key note.Verifier) error {
	head, signed, found := bytes.Cut(request, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	number, has := strings.CutPrefix(lines[0], "old ")
	old, err := strconv.ParseInt(number, 10, 64)
	if !found || !has || err != nil || old < 1 {
		return fmt.Errorf("a request that continues nothing: %q", head)
	}
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	tree, err := openCheckpoint(signed, key)
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(old, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, old, root)
}

func verify(request, directory, ed25519Key string, others []string) error {
	one, err := note.NewVerifier(ed25519Key)
	if err != nil {
		return err
	}
	keys := []note.Verifier{one}
	for _, text := range others {
		key, err := newVerifier(text)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	signed, err := os.ReadFile(filepath.Join(directory, "checkpoint"))
	if err != nil {
		return err
	}
	tree, err := openCheckpoint(signed, keys...)
	if err != nil {
		return err
	}
	files := export{directory}
	hashes := tlog.TileHashReader(tree, files)
	var entries [][]byte
	for index := int64(0); index < tree.N; index++ {
		if index%(1<<height) == 0 {
			if entries, err = files.bundle(index, tree.N); err != nil {
				return err
			}
		}
		proof, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		leaf := tlog.RecordHash(entries[index%(1<<height)])
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
	}
	older := int64(0)
	for size := int64(1); size <= tree.N; size += 1 + tree.N/64 {
		old, err := tlog.TreeHash(size, hashes)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, size, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, size, old); err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
		older++
	}
	if request != "" {
		sent, err := os.ReadFile(request)
		if err != nil {
			return err
		}
		if err := verifyRequest(sent, hashes, one); err != nil {
			return fmt.Errorf("%s: %w", request, err)
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d entries in the tree, which continues %d smaller ones\n", tree.N, older)
	_, err = out.WriteTo(os.Stdout)
	return err
}

func main() {
	log.SetFlags(0)
	request := flag.String("request", "", "what a witness was sent")
	flag.Parse()
	args := flag.Args()
	if len(args) < 2 {
		log.Fatal("usage: verify-export [-request FILE] DIRECTORY ED25519-KEY [KEY]...")
	}
	if err := verify(*request, args[0], args[1], args[2:]); err != nil {
		log.Fatal(err)
	}
}
