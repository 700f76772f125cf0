package axle

import (
	"context"
	"io"
	"time"
)

// Progress tells how far a body has come.
type Progress struct {
	Bytes int64         // so far
	Total int64         // -1: unknown, as of a compressed answer
	Time  time.Duration // since the body began
}

// Rate is the average so far, in bytes per second; 0 before there is one.
func (p Progress) Rate() float64 {
	if p.Time <= 0 {
		return 0
	}
	return float64(p.Bytes) / p.Time.Seconds()
}

// progressInterval is how often progress is told, beside the end.
const progressInterval = 100 * time.Millisecond

// OnUploadProgress has fn told of the request's body as it is sent: at most ten times a second, and at its end. A replay and a
// redirect begin anew. It runs on the goroutine that sends, which waits for it.
func (r *Request) OnUploadProgress(fn func(Progress)) *Request {
	r.onUpload = fn
	return r
}

// OnDownloadProgress has fn told of the answer's body as it is read, in the same way.
func (r *Request) OnDownloadProgress(fn func(Progress)) *Request {
	r.onDownload = fn
	return r
}

// metered tells of what is read through it.
type metered struct {
	io.ReadCloser
	tell     func(Progress)
	progress Progress
	began    time.Time
	told     time.Time
	ended    bool
}

func meter(body io.ReadCloser, total int64, tell func(Progress)) io.ReadCloser {
	now := time.Now()
	return &metered{ReadCloser: body, tell: tell, progress: Progress{Total: total}, began: now, told: now}
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.progress.Bytes += int64(n)
	now := time.Now()
	atEnd := err == io.EOF || m.progress.Bytes == m.progress.Total
	if !m.ended && (atEnd || n > 0 && now.Sub(m.told) >= progressInterval) {
		m.told, m.ended = now, atEnd
		m.progress.Time = now.Sub(m.began)
		m.tell(m.progress)
	}
	return n, err
}

// meterUpload wraps each reading of a payload.
func (r *Request) meterUpload(body payload) payload {
	if r.onUpload == nil || body.open == nil {
		return body
	}
	open, length, tell := body.open, body.length, r.onUpload
	body.open = func(ctx context.Context) (io.ReadCloser, error) {
		reader, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return meter(reader, length, tell), nil
	}
	return body
}
