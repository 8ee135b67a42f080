<?php

// Reads cases line by line, as ../cases.ts writes them, and says of each what `verify` made of it.
require 'verify.php';

// A warning is a fault, too.
set_error_handler(fn ($level, $text) => throw new ErrorException($text));

while (($line = fgets(STDIN)) !== false) {
    [$now, $secrets, $headers, $body] = explode("\t", rtrim($line, "\n"));
    $named = [];
    foreach (explode(',', $headers) as $header) {
        [$name, $value] = explode(':', $header);
        $named[$name] = base64_decode($value);
    }
    try {
        verify(array_map('base64_decode', explode(',', $secrets)), $named, base64_decode($body), (int) $now);
        echo "accepted\n";
    } catch (Refused) {
        echo "refused\n";
    } catch (Throwable $error) {
        echo 'error ', get_class($error), ' ', $error->getMessage(), "\n";
    }
}
