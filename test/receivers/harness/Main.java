import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.security.SignatureException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Reads cases line by line, as ../cases.ts writes them, and says of each what Webhooks.verify made of it. */
public final class Main {
  public static void main(String[] arguments) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, US_ASCII));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] fields = line.split("\t", -1);
      List<String> secrets = new ArrayList<>();
      for (String secret : fields[1].split(",", -1)) secrets.add(new String(decode(secret), ISO_8859_1));
      // As servlets have them.
      Map<String, String> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
      for (String header : fields[2].split(",")) {
        String[] pair = header.split(":", -1);
        headers.put(pair[0], new String(decode(pair[1]), ISO_8859_1));
      }
      try {
        Webhooks.verify(secrets, headers::get, decode(fields[3]), Instant.ofEpochSecond(Long.parseLong(fields[0])));
        System.out.println("accepted");
      } catch (SignatureException refused) {
        System.out.println("refused");
      } catch (Exception error) {
        System.out.println("error " + error);
      }
    }
  }

  private static byte[] decode(String base64) {
    return Base64.getDecoder().decode(base64);
  }
}
