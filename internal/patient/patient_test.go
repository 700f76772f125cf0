package patient_test

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle/internal/patient"
)

// hesitant yields nothing for so many reads, and then what its reader yields.
type hesitant struct {
	io.Reader
	empty, reads int
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.reads++; h.reads <= h.empty {
		return 0, nil
	}
	return h.Reader.Read(p)
}

func TestRead_YieldsWhatTheReaderYieldsAfterLessThanAHundredEmptyReads(t *testing.T) {
	for _, empty := range []int{0, 1, 99} {
		r := &hesitant{Reader: strings.NewReader("text"), empty: empty}
		p := make([]byte, 10)
		n, err := patient.Read(r, p)
		assert.NoError(t, err)
		assert.Equal(t, "text", string(p[:n]))
		assert.Equal(t, empty+1, r.reads)
	}
}

func TestRead_AfterAHundredEmptyReadsIsErrNoProgress(t *testing.T) {
	r := &hesitant{Reader: strings.NewReader("text"), empty: 100}
	n, err := patient.Read(r, make([]byte, 10))
	assert.Equal(t, io.ErrNoProgress, err)
	assert.Zero(t, n)
	assert.Equal(t, 100, r.reads)
}

func TestRead_AnErrorEndsItAlsoBesideBytes(t *testing.T) {
	p := make([]byte, 10)
	n, err := patient.Read(iotest.DataErrReader(strings.NewReader("text")), p)
	assert.Equal(t, io.EOF, err)
	assert.Equal(t, "text", string(p[:n]))

	_, err = patient.Read(iotest.ErrReader(io.ErrClosedPipe), p)
	assert.Equal(t, io.ErrClosedPipe, err)
}

func TestRead_IntoNothingReadsOnce(t *testing.T) {
	r := &hesitant{Reader: strings.NewReader("text"), empty: 1}
	n, err := patient.Read(r, nil)
	assert.NoError(t, err)
	assert.Zero(t, n)
	assert.Equal(t, 1, r.reads)
}
