package axle

import (
	"context"
	"io"
	"time"
)

// Progress tells how far a body has come.
type Progress struct {
	Bytes int64         // so far
	Total int64         // in bytes; -1: unknown, as of a compressed response
	Time  time.Duration // since the body began
}

// Rate is the average so far, in bytes per second. It is 0 before any time has passed.
func (p Progress) Rate() float64 {
	if p.Time <= 0 {
		return 0
	}
	return float64(p.Bytes) / p.Time.Seconds()
}

// progressInterval is the time between two reports. The end of a body is reported beside them.
const progressInterval = 100 * time.Millisecond

// OnUploadProgress has fn called while the request's body is sent: at most ten times a second, and
// at the end of the body. For a replay and for a redirect the count begins anew. fn runs on the
// goroutine that sends, which waits for it.
//
// In a browser a body is read as a whole before it is sent, and fn is told of the reading.
func (r *Request) OnUploadProgress(fn func(Progress)) *Request {
	r.onUpload = fn
	return r
}

// OnDownloadProgress has fn called while the response's body is read: at most ten times a second,
// and at the end of the body. For a replay the count begins anew. fn runs on the goroutine that
// reads, which waits for it.
func (r *Request) OnDownloadProgress(fn func(Progress)) *Request {
	r.onDownload = fn
	return r
}

// metered is a body that reports how much of it has been read.
type metered struct {
	io.ReadCloser
	report   func(Progress)
	progress Progress
	began    time.Time
	reported time.Time
	isAtEnd  bool
}

func meter(body io.ReadCloser, total int64, report func(Progress)) io.ReadCloser {
	now := time.Now()
	return &metered{
		ReadCloser: body,
		report:     report,
		progress:   Progress{Total: total},
		began:      now,
		reported:   now,
	}
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.progress.Bytes += int64(n)

	// The end is reported once, whether the length or the reader tells it.
	now := time.Now()
	atEnd := err == io.EOF || m.progress.Bytes == m.progress.Total
	if !m.isAtEnd && (atEnd || n > 0 && now.Sub(m.reported) >= progressInterval) {
		m.reported, m.isAtEnd = now, atEnd
		m.progress.Time = now.Sub(m.began)
		m.report(m.progress)
	}
	return n, err
}

// meterUpload wraps each reading of a payload.
func (r *Request) meterUpload(body payload) payload {
	if r.onUpload == nil || body.open == nil {
		return body
	}

	open, length, report := body.open, body.length, r.onUpload
	body.open = func(ctx context.Context) (io.ReadCloser, error) {
		reader, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return meter(reader, length, report), nil
	}
	return body
}
