package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/axlehttp/axle/future"
)

const processes = 10

// demo signs in, lets the access token expire, and starts ten processes that all need a new one.
func demo(ctx context.Context, out io.Writer) (err error) {
	server, err := startServer("http://127.0.0.1:0")
	if err != nil {
		return err
	}
	defer server.Close()

	// A slow refresh, so that the processes meet in it.
	server.refreshTakes = 300 * time.Millisecond

	folder, err := os.MkdirTemp("", "axle-cli")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	s := settings{server: server.URL, file: filepath.Join(folder, "session.json"), out: out, browse: approve}
	if err := s.login(ctx, false); err != nil {
		return err
	}

	server.expire()
	fmt.Fprintf(out, "The access token has expired. %d processes start:\n", processes)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var starts []*future.Future[string]
	for range processes {
		starts = append(starts, future.Go(func() (string, error) { return s.again(ctx, "whoami", "-v") }))
	}
	lines, err := future.All(starts...).Await(ctx)
	if err != nil {
		return err
	}
	for _, line := range lines {
		fmt.Fprint(out, "  ", line)
	}

	if err := s.logout(ctx); err != nil {
		return err
	}
	counts := server.counts()
	fmt.Fprintf(out, "The server saw %d refresh, %d refresh tokens sent twice, and %d logout.\n",
		counts.refreshes, counts.reused, counts.revoked)
	if counts != (counted{refreshes: 1, revoked: 1}) {
		return errors.New("these are not the right numbers")
	}
	return nil
}

// again runs a command in another process of this program, and returns its output.
func (s settings) again(ctx context.Context, args ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, self, append(args, "-server", s.server, "-session", s.file)...)
	var output, problems bytes.Buffer
	command.Stdout, command.Stderr = &output, &problems
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, problems.Bytes())
	}
	return output.String(), nil
}

// approve does the part of the user and their browser: it presses the button of the page.
func approve(page string) error {
	browser := &http.Client{Transport: &http.Transport{}}
	defer browser.CloseIdleConnections()
	resp, err := browser.PostForm(page, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the page answered %s", resp.Status)
	}
	return nil
}
