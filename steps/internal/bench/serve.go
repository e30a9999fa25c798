package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"athanor/gpu"
	"athanor/gpu/cpu"
)

// A job is what a player measures. run returns when the work is done.
type job interface {
	run() error
	close()
}

// serve is Athanor's player: it answers requests, line by line, until its input ends.
func serve(in io.Reader, out io.Writer) (err error) {
	dev, err := cpu.Open(0) // GOMAXPROCS says how many
	if err != nil {
		return err
	}
	s := &server{dev: dev}
	defer func() { s.end(); err = errors.Join(err, dev.Close()) }()
	to := json.NewEncoder(out)
	for from := json.NewDecoder(bufio.NewReader(in)); ; {
		var r request
		if err := from.Decode(&r); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		back, err := s.answer(r)
		if err != nil {
			back.Error = err.Error()
		}
		if err := to.Encode(back); err != nil {
			return err
		}
	}
}

// A server holds the job at hand.
type server struct {
	dev gpu.Device
	job job
}

func (s *server) answer(r request) (back reply, err error) {
	switch r.Do {
	case "hello":
		return reply{Versions: map[string]string{"go": runtime.Version(), "cpu": s.dev.Info().Name}}, nil
	case "prepare":
		s.end()
		s.job, back.Check, err = s.prepare(r)
		return back, err
	case "run":
		if s.job == nil {
			return back, fmt.Errorf("no job is prepared")
		}
		for range r.Warm {
			if err := s.job.run(); err != nil {
				return back, err
			}
		}
		clock, err := start()
		if err != nil {
			return back, err
		}
		for range r.Calls {
			if err := s.job.run(); err != nil {
				return back, err
			}
		}
		back.Seconds, back.CPUSeconds, err = clock.read()
		return back, err
	}
	return back, fmt.Errorf("no request %q", r.Do)
}

func (s *server) prepare(r request) (job, []float64, error) {
	switch r.Job {
	case "gemm":
		return newProduct(s.dev, r)
	case "step":
		return newStep(s.dev, r)
	case "decode":
		return newDecoding(s.dev, r)
	case "encode":
		return newEncoding(r)
	case "train":
		return newTokenizerTraining(r)
	}
	return nil, nil, fmt.Errorf("no job %q", r.Job)
}

// end lets go of the job at hand, and of its memory.
func (s *server) end() {
	if s.job != nil {
		s.job.close()
		s.job = nil
		runtime.GC()
	}
}

// serveArgument makes the program a player instead of the measuring parent.
const serveArgument = "serve"

// serving reports whether this process is a player.
func serving() bool { return len(os.Args) == 2 && os.Args[1] == serveArgument }
