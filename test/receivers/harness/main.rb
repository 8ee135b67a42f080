# Reads cases line by line, as ../cases.ts writes them, and says of each what Webhooks.verify made of it.
require_relative 'verify'

$stdin.each_line(chomp: true) do |line|
  now, secrets, headers, body = line.split("\t", -1)
  # As Rack has them: bytes that claim to be UTF-8.
  env = headers.split(',').to_h do |header|
    name, value = header.split(':', 2)
    ["HTTP_#{name.upcase.tr('-', '_')}", value.unpack1('m0').force_encoding('UTF-8')]
  end
  Webhooks.verify(
    secrets.split(',', -1).map { |secret| secret.unpack1('m0').force_encoding('UTF-8') },
    ->(name) { env["HTTP_#{name.upcase.tr('-', '_')}"] },
    body.unpack1('m0'),
    now: Time.at(now.to_i)
  )
  puts 'accepted'
rescue Webhooks::Refused
  puts 'refused'
rescue StandardError => e
  puts "error #{e.inspect}"
end
