package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Reads cases line by line, as ../cases.ts writes them, and says of each what Verify made of it.
func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		seconds, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			panic(err)
		}
		var secrets []string
		for _, secret := range strings.Split(fields[1], ",") {
			secrets = append(secrets, string(decode(secret)))
		}
		header := http.Header{}
		for _, each := range strings.Split(fields[2], ",") {
			name, value, _ := strings.Cut(each, ":")
			header.Set(name, string(decode(value)))
		}
		if err := Verify(secrets, header, decode(fields[3]), time.Unix(seconds, 0)); err != nil {
			fmt.Println("refused", err)
		} else {
			fmt.Println("accepted")
		}
	}
	if err := lines.Err(); err != nil {
		panic(err)
	}
}

func decode(text string) []byte {
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return bytes
}
