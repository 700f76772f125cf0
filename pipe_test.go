//go:build !js

package axle_test

import (
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A browser has no pipes of an operating system, and so this file is not for js.

func TestBody_AFileThatCannotSeekIsStreamedAndClosed(t *testing.T) {
	c, got := newBodyServer(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	go func() { _, _ = io.WriteString(w, "piped"); w.Close() }()
	_, err = c.Post(t.Context(), "/", r)
	require.NoError(t, err)
	assert.Equal(t, sentBody{"piped", "application/octet-stream", -1}, got())
	assert.ErrorIs(t, r.Close(), os.ErrClosed, "it is closed already")
}
