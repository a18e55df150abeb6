// Log-reader verifies a WebWallet log with stock tools: the notes and trees of
// Go's checksum database (golang.org/x/mod/sumdb). Nothing in it comes from
// this project, so it shows what somebody gets who knows the public formats and
// the log's key alone.
//
//	log-reader URL VKEY OLDER
//
// URL is the log's, VKEY its verifier key, OLDER a file with a checkpoint that
// was saved before. It verifies both checkpoints, every tile against the root,
// the inclusion of every entry, and that the log extends the older checkpoint.
//
// TileHashReader of the version in go.mod, the last that Go 1.19 builds, leaves
// some full tiles unchecked (CVE-2026-56865). So nothing is believed for having
// been read through it: every proof made of tiles is checked against the root.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tiles of 2^8 hashes, as tlog-tiles fixes it.
const (
	height = 8
	width  = 1 << height
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: log-reader URL VKEY OLDER")
		os.Exit(2)
	}
	if err := verify(strings.TrimSuffix(os.Args[1], "/"), os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "log-reader:", err)
		os.Exit(1)
	}
}

func verify(url, vkey, older string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("verifier key: %w", err)
	}
	text, err := get(url + "/checkpoint")
	if err != nil {
		return err
	}
	tree, err := checkpoint(text, verifier)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	text, err = os.ReadFile(older)
	if err != nil {
		return err
	}
	old, err := checkpoint(text, verifier)
	if err != nil {
		return fmt.Errorf("older checkpoint: %w", err)
	}
	log := &server{url: url, size: tree.N, files: map[string][]byte{}}
	hashes := tlog.TileHashReader(tree, log)
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil {
		return fmt.Errorf("tiles: %w", err)
	}
	if root != tree.Hash {
		return fmt.Errorf("tiles: root %v, checkpoint says %v", root, tree.Hash)
	}
	if err := included(log, tree, hashes); err != nil {
		return err
	}
	proof, err := tlog.ProveTree(tree.N, old.N, hashes)
	if err != nil {
		return fmt.Errorf("consistency: %w", err)
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("consistency: %w", err)
	}
	fmt.Printf("%d entries in %d files, extends %d\n", tree.N, len(log.files), old.N)
	return nil
}

// included proves the inclusion of every entry.
func included(log *server, tree tlog.Tree, hashes tlog.HashReader) error {
	for first := int64(0); first < tree.N; first += width {
		entries, err := log.entries(first / width)
		if err != nil {
			return err
		}
		for i, entry := range entries {
			index := first + int64(i)
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return fmt.Errorf("inclusion of entry %d: %w", index, err)
			}
			err = tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
			if err != nil {
				return fmt.Errorf("inclusion of entry %d: %w", index, err)
			}
		}
	}
	return nil
}

// checkpoint opens a signed note and reads the tree's head in it: origin, size
// and root (c2sp.org/tlog-checkpoint).
func checkpoint(text []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s: %q", verifier.Name(), opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("not a root: %q", lines[2])
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(*(*[tlog.HashSize]byte)(root))}, nil
}

// server is the log behind its URL: the tlog.TileReader of its tiles.
type server struct {
	url   string
	size  int64
	files map[string][]byte
}

func (*server) Height() int { return height }

// SaveTiles has nothing to do: what was read is kept until the end anyway.
func (*server) SaveTiles([]tlog.Tile, [][]byte) {}

func (log *server) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		bytes, err := log.file(path(tile))
		if err != nil {
			return nil, err
		}
		data[i] = bytes
	}
	return data, nil
}

// entries takes a bundle apart: before each entry, two bytes say its length.
func (log *server) entries(index int64) ([][]byte, error) {
	tile := tlog.Tile{H: height, L: -1, N: index, W: width}
	if rest := log.size - index*width; rest < width {
		tile.W = int(rest)
	}
	bundle, err := log.file(path(tile))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for rest := bundle; len(rest) > 0; {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return nil, fmt.Errorf("%s: cut off in entry %d", path(tile), len(entries))
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		entries = append(entries, rest[2:end])
		rest = rest[end:]
	}
	if len(entries) != tile.W {
		return nil, fmt.Errorf("%s: %d entries, not %d", path(tile), len(entries), tile.W)
	}
	return entries, nil
}

// path of a tile by tlog-tiles: that of the checksum database without the
// height, and with another name for bundles.
func path(tile tlog.Tile) string {
	name := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height))
	if bundle := strings.TrimPrefix(name, "data/"); bundle != name {
		name = "entries/" + bundle
	}
	return "/tile/" + name
}

func (log *server) file(path string) ([]byte, error) {
	if bytes, ok := log.files[path]; ok {
		return bytes, nil
	}
	bytes, err := get(log.url + path)
	if err == nil {
		log.files[path] = bytes
	}
	return bytes, err
}

func get(url string) ([]byte, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}
