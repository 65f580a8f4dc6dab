// A TCP proxy as Go programs write it: io.Copy in each direction, and the end of one is passed on.
package main

import (
	"io"
	"log"
	"net"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(client.(*net.TCPConn))
	}
}

func serve(client *net.TCPConn) {
	defer client.Close()
	connection, err := net.Dial("tcp", os.Args[2])
	if err != nil {
		log.Print(err)
		return
	}
	backend := connection.(*net.TCPConn)
	defer backend.Close()
	uploaded := make(chan bool)
	go func() {
		pass(backend, client)
		close(uploaded)
	}()
	pass(client, backend)
	<-uploaded
}

func pass(to, from *net.TCPConn) {
	io.Copy(to, from)
	to.CloseWrite()
}
