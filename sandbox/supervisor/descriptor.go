package supervisor

import "os"

// writeDescriptor writes sandbox.json: each part's ready line is its section, and
// "parts" tells the processes. The product's internal/sandbox.Descriptor is the
// reader's view of it.
func (s *Sandbox) writeDescriptor() error {
	s.describe.Lock()
	defer s.describe.Unlock()
	if s.stopped {
		return nil
	}
	// A part may die and come back while others start for the first time.
	for _, r := range s.parts {
		if !isClosed(r.serving) {
			return nil
		}
	}
	type run struct {
		PID    int    `json:"pid"`
		Detail string `json:"detail"`
		Log    string `json:"log"`
	}
	runs := map[string]run{}
	doc := map[string]any{"pid": os.Getpid(), "dir": s.dir.path, "parts": runs}
	for name, r := range s.parts {
		c := r.answering()
		doc[name] = c.ready
		runs[name] = run{PID: c.pid(), Detail: c.detail(), Log: r.logPath}
	}
	return writeJSON(s.DescriptorPath(), doc)
}
