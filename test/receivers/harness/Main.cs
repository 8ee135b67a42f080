using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;

/// <summary>Reads cases line by line, as ../cases.ts writes them, and says of each what Webhooks.Verify made of it.</summary>
public static class Program
{
    static readonly Encoding Latin1 = Encoding.GetEncoding("iso-8859-1");

    public static void Main()
    {
        for (string line = Console.ReadLine(); line != null; line = Console.ReadLine())
        {
            string[] fields = line.Split('\t');
            var secrets = fields[1].Split(',').Select(Decode).ToList();
            var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
            foreach (string[] header in fields[2].Split(',').Select(each => each.Split(':')))
                headers[header[0]] = Decode(header[1]);
            // As ASP.NET Core has it: StringValues.ToString() is empty where there is no header.
            Func<string, string> find = name => headers.TryGetValue(name, out string value) ? value : "";
            try
            {
                var now = DateTimeOffset.FromUnixTimeSeconds(long.Parse(fields[0]));
                Webhooks.Verify(secrets, find, Convert.FromBase64String(fields[3]), now);
                Console.WriteLine("accepted");
            }
            catch (RefusedException)
            {
                Console.WriteLine("refused");
            }
            catch (Exception error)
            {
                Console.WriteLine("error " + error.GetType() + " " + error.Message);
            }
        }
    }

    static string Decode(string base64) => Latin1.GetString(Convert.FromBase64String(base64));
}
